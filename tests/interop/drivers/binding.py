#!/usr/bin/env python3
"""Enrolls with tls-unique as OpenSSL computes it (ssl.SSLSocket.get_channel_binding), TLS 1.2 only.

env: EST_HOST EST_PORT EST_CA EST_LABEL EST_USER EST_PASS EST_CERT EST_KEY EST_OUT
     EST_CIPHER  the one suite offered, OpenSSL's name
     EST_COUNT   how many connections, each with a new request (1)
     EST_RESUME  any: each further connection resumes the session of the first
     EST_EMS=no  without extended_master_secret
     EST_VALUE=old  the binding of the connection before
Prints a line for each: suite, whether the session was resumed, the status, the reason if it was rejected.
"""
import base64, os, pathlib, socket, ssl, subprocess, sys

env = os.environ.get
out = pathlib.Path(env("EST_OUT", "."))
out.mkdir(parents=True, exist_ok=True)
key = out / "key.pem"
subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key], check=True)

context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.load_verify_locations(env("EST_CA"))
context.maximum_version = ssl.TLSVersion.TLSv1_2
if env("EST_CIPHER"):
    context.set_ciphers(env("EST_CIPHER"))
if env("EST_CERT"):
    context.load_cert_chain(env("EST_CERT"), env("EST_KEY"))
if env("EST_EMS") == "no":
    context.options |= 1  # SSL_OP_NO_EXTENDED_MASTER_SECRET, which Python has no name for


def request(number, binding):
    """A CSR with the binding, by openssl."""
    config = out / "request.cnf"
    config.write_text(f"""[req]
prompt = no
distinguished_name = dn
attributes = attributes
[dn]
CN = {env("EST_CN", "bound")}-{number}
[attributes]
challengePassword = {base64.b64encode(binding).decode()}
""")
    command = ["openssl", "req", "-new", "-key", key, "-config", config, "-outform", "DER"]
    return base64.encodebytes(subprocess.run(command, check=True, capture_output=True).stdout)


def post(tls, body):
    label = env("EST_LABEL")
    head = [f"POST /.well-known/est/{label + '/' if label else ''}simpleenroll HTTP/1.1",
            f"Host: {env('EST_HOST')}", "Content-Type: application/pkcs10", "Connection: close",
            f"Content-Length: {len(body)}"]
    if env("EST_USER"):
        pair = f"{env('EST_USER')}:{env('EST_PASS')}".encode()
        head.append(f"Authorization: Basic {base64.b64encode(pair).decode()}")
    tls.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
    answer = b""
    while chunk := tls.recv(65536):
        answer += chunk
    head, body = answer.split(b"\r\n\r\n", 1)
    return int(head.split(b" ")[1]), body


session, before = None, None
for number in range(int(env("EST_COUNT", "1"))):
    tcp = socket.create_connection((env("EST_HOST"), int(env("EST_PORT"))))
    with context.wrap_socket(tcp, server_hostname=env("EST_HOST"), session=session) as tls:
        own = tls.get_channel_binding("tls-unique")
        status, body = post(tls, request(number, before if env("EST_VALUE") == "old" and before else own))
        reason = "" if status == 200 else body.decode().split(":")[0]
        print(tls.cipher()[0], "resumed" if tls.session_reused else "full", status, reason)
        before = own
        if env("EST_RESUME"):
            session = session or tls.session
