"""A program that does what it is told: runs the body of each request."""
import asyncio
import contextlib
import io
import traceback


def work(code, scope, heads):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            exec(code, {"scope": scope, "heads": heads})
        except BaseException:
            traceback.print_exc(file=out)
    return out.getvalue().encode()


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body")
    heads = [(b"content-type", b"text/plain")]
    text = await asyncio.to_thread(work, body.decode(), scope, heads)
    await send({"type": "http.response.start", "status": 200,
                "headers": heads})
    await send({"type": "http.response.body", "body": text})
