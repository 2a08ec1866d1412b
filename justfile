# What continuous integration runs.
check:
    .ci/run

# The requirements that have a test.
coverage:
    tests/coverage

# Licenses, sources, banned crates; advisories where the network allows.
deny:
    cargo deny check
