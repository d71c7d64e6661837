"""Startup packets through the port. Both engines answer from the same wasm."""


def requests(w):
    yield "startup packet", w.startup()
    yield "query after startup", w.query("select current_user")
    yield "startup with settings", w.startup(application_name="conf", client_encoding="UTF8")
    yield "what became of them", w.query("select current_setting('application_name'), current_setting('client_encoding')")
