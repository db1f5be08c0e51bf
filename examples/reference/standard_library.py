# sample.py with nothing but the standard library.
import json
import urllib.request

API_URL = "http://localhost:8006"
TOKEN = "your_jwt_token"


def call(method, path, body=None):
    request = urllib.request.Request(
        API_URL + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {TOKEN}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


agents = call("GET", "/api/v2/library/agents")
execution = call("POST", f"/api/v2/builder/graphs/{graph_id}/execute", {"input_data": {"prompt": "Hello!"}})
