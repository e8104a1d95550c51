"""The tunnel itself: flows, queues, the two pipelines, connections and the endpoints that hold them."""
