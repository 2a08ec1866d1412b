# What continuous integration runs.
check:
    tests/run

# The requirements that have a test.
coverage:
    tests/coverage
