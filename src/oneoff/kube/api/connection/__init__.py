"""How an API server is reached: which one and as whom (`kubeconfig`, `credentials`, `plugin`), by which way
(`proxies`, `route`, `tls`), over which connections (`http`, `streams`), how often (`transport`), and what its
answers and its silence mean (`refusals`, `unreachable`).

Only the client imports it.
"""
