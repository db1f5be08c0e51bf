import requests

API_URL = "http://localhost:8006"
TOKEN = "your_jwt_token"

headers = {
    "Authorization": f"Bearer {TOKEN}",
    "Content-Type": "application/json"
}

# List library agents
response = requests.get(
    f"{API_URL}/api/v2/library/agents",
    headers=headers
)
agents = response.json()

# Execute a graph
response = requests.post(
    f"{API_URL}/api/v2/builder/graphs/{graph_id}/execute",
    headers=headers,
    json={"input_data": {"prompt": "Hello!"}}
)
execution = response.json()
