"""A server that speaks the chat-completions protocol, run as a process of its own: `python _server.py`.

The name of the model says how it behaves. It answers by a rule, not by a language model: the first candidate in
alphabetical order. `GET /log` gives all that it received, `DELETE /log` forgets it.
"""

import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RECEIVED: list[dict[str, Any]] = []
TIMES_SEEN: dict[str, int] = {}
LOCK = threading.Lock()


def rule(body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a prompt: the first candidate in alphabetical order."""
    user = next(message["content"] for message in body["messages"] if message["role"] == "user")
    data = json.loads(re.fullmatch(r"<data>(.*)</data>", user, re.DOTALL)[1])  # type: ignore[index]
    key = min(data["candidates"], key=data["candidates"].get)
    return {"rationale": f"Because of {data['genes'].split()[0]}.", "choice": key, "confidence": 0.8}


def completion(body: dict[str, Any], content: str | None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": f"{body['model']}-as-served",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    }


def error(message: str, code: str = "", param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "error", "code": code, "param": param}}


def reply(body: dict[str, Any], key: str, n_seen: int) -> tuple[int, dict[str, Any] | str, dict[str, str]]:
    """Status, body and headers. `n_seen` counts earlier requests with the same first messages."""
    model = body["model"]
    good = completion(body, json.dumps(rule(body)))
    if body.get("stream"):
        return 400, error("this server does not stream"), {}
    match model:
        case "unauthorised":
            return 401, error(f"Incorrect API key provided: {key}"), {}
        case "forbidden":
            return 403, error("not in your country"), {}
        case "retired":
            return 404, error("The model `retired` does not exist", "model_not_found"), {}
        case "no-quota":
            return 429, error("You exceeded your current quota", "insufficient_quota"), {"x-should-retry": "false"}
        case "rate-limited-once" if n_seen == 0:
            return 429, error("slow down"), {"retry-after": "0.3"}
        case "broken-once" if n_seen == 0:
            return 500, error("oops"), {"retry-after-ms": "1"}
        case "down":
            return 500, error(f"oops {key}"), {"retry-after-ms": "1"}
        case "overlong":
            return 400, error("the context holds 10 tokens"), {}
        case "money-for-five" if "GENE5" in body["messages"][1]["content"]:
            return 429, error("You exceeded your current quota", "insufficient_quota"), {"x-should-retry": "false"}
        case "slow" | "money-for-five":
            time.sleep(0.2)
        case "hangs":
            time.sleep(1.5)
        case "not-json":
            return 200, "<html>{", {}
        case "empty":
            return 200, {**good, "choices": []}, {}
        case "malformed" | "malformed-once" if model == "malformed" or n_seen == 0:
            return 200, completion(body, "I think it is A"), {}
        case "wrong-label":
            return 200, completion(body, json.dumps({**rule(body), "choice": "a label of its own"})), {}
        case "too-sure":
            return 200, completion(body, json.dumps({**rule(body), "confidence": 80})), {}
        case "none-fits":
            return 200, completion(body, json.dumps({**rule(body), "choice": "none"})), {}
        case "thinks":
            return 200, completion(body, f"<think>{{A or B?}}</think>\n```json\n{json.dumps(rule(body))}\n```"), {}
        case "markup":
            text = f"<script>alert(1)</script>\x1b[31m\nred\u202e {key} " + "x" * 2000
            return 200, completion(body, json.dumps({**rule(body), "rationale": text})), {}
        case "refuses":
            return 200, completion(body, None, refusal="I cannot help with cells."), {}
        case "filtered":
            return 200, completion(body, "", "content_filter"), {}
        case "cut":
            return 200, completion(body, '{"rationale": "Bec', "length"), {}
        case "no-usage":
            return 200, {name: value for name, value in good.items() if name != "usage"}, {}
        case "plain" if "response_format" in body:
            return 400, error("response_format json_schema is not supported", param="response_format"), {}
        case "plain" if "temperature" in body:
            return 400, error("Unsupported parameter: 'temperature'", param="temperature"), {}
        case "plain" if "max_tokens" in body:
            return 400, error("Unsupported: 'max_tokens'. Use 'max_completion_tokens'.", param="max_tokens"), {}
    return 200, good, {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        body = json.loads(raw)
        with LOCK:
            RECEIVED.append(
                {
                    "path": self.path,
                    "headers": {name.lower(): value for name, value in self.headers.items()},
                    "raw": raw.decode(),
                }
            )
            seen = json.dumps([body["model"], body["messages"][:2]])
            n_seen = TIMES_SEEN.get(seen, 0)
            TIMES_SEEN[seen] = n_seen + 1
        status, content, extra = reply(body, self.headers["Authorization"].removeprefix("Bearer "), n_seen)
        self._send(status, content, extra)

    def do_GET(self) -> None:
        with LOCK:
            self._send(200, {"received": RECEIVED}, {})

    def do_DELETE(self) -> None:
        with LOCK:
            RECEIVED.clear()
            TIMES_SEEN.clear()
        self._send(200, {}, {})

    def _send(self, status: int, content: dict[str, Any] | str, headers: dict[str, str]) -> None:
        text = (content if isinstance(content, str) else json.dumps(content)).encode()
        try:
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(text)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client did not wait

    def log_message(self, *_: object) -> None:
        """Nothing on the screen."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()  # until the parent closes it, or is no more
