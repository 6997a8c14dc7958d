"""How an API server is reached: which one and as whom (`kubeconfig`, `credentials`, `plugin`), over what
(`tls`, `proxies`, `transport`), and what its answers and its silence mean (`refusals`, `unreachable`).

Only the client imports it.
"""
