# List library agents
curl -X GET "http://localhost:8006/api/v2/library/agents" \
  -H "Authorization: Bearer $TOKEN"

# Execute a graph
curl -X POST "http://localhost:8006/api/v2/builder/graphs/$GRAPH_ID/execute" \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"input_data": {"prompt": "Hello!"}}'
