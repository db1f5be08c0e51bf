const API_URL = "http://localhost:8006";
const token = "your_jwt_token";

// List library agents
const response = await fetch(`${API_URL}/api/v2/library/agents`, {
  headers: {
    Authorization: `Bearer ${token}`,
  },
});
const agents = await response.json();

// Execute a graph
const execResponse = await fetch(
  `${API_URL}/api/v2/builder/graphs/${graphId}/execute`,
  {
    method: "POST",
    headers: {
      Authorization: `Bearer ${token}`,
      "Content-Type": "application/json",
    },
    body: JSON.stringify({ input_data: { prompt: "Hello!" } }),
  }
);
const execution = await execResponse.json();
