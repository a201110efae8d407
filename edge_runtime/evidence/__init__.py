"""Evidence: pictures of what was judged NG, of errors, and of a sample of what was OK. No verdict waits for one.

`writer.py` decides which are kept and writes them in a thread of its own, `overview.py` draws what a person looks at,
`store.py` keeps them within bounds on disk.
"""
