"""What the extensions' tests ask (tests/integration/extensions), asked of both engines.

All extensions are in one pair of them, but for those that PGlite on Node does not answer with others beside them.
"""

import corpus  # noqa: F401  (puts pgwire on the path)
import engine_pair
import extension_scripts
import pgwire
import pytest
from comparison import Comparison

SCRIPTS = extension_scripts.scripts()


# Found here: with others loaded pgcrypto's ciphers "cannot be initialized" or pg_trgm's % calls a null function, and PGlite
# does not start with two libraries that are preloaded.
APART = {"pg_trgm", "pgcrypto"} | {script.name for script in SCRIPTS if script.preload}


@pytest.fixture(scope="module")
def pairs():
    """By name of the extension; of all others, by ""."""
    archives = engine_pair.extension_archives()
    made = {"": engine_pair.Pair([archive for archive in archives if name_of(archive) not in APART])}
    for script in SCRIPTS:
        if script.name in APART:
            made[script.name] = engine_pair.Pair([archive for archive in archives if name_of(archive) == script.name],
                                                 [script.name] if script.preload else [])
    yield made
    for pair in made.values():
        pair.close()


def name_of(archive):
    return archive.name.removesuffix(".tar.gz")


def requests(script, helpers):
    """The second half comes twice."""
    found = [step.statement for step in extension_scripts.helpers()] if helpers else []
    found += ["discard all;", *script.opening, *(step.statement for step in script.first)]
    for _ in range(2):
        found += ["discard all;", script.path, *(step.statement for step in script.again)]
    return found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_same_answers(script, pairs, summary):
    pair = pairs[script.name if script.name in APART else ""]
    fresh = pair.ours is None
    pair.open()
    comparison = Comparison(pair, f"extensions/{script.name}.sql", summary)
    clean = False
    try:
        comparison.ask((statement, pgwire.query(statement)) for statement in requests(script, fresh))
        clean = comparison.equal
    finally:
        if not clean or script.name in APART:
            pair.close()
    comparison.finish()


def test_ours_answers_beside_others():
    """Why some are apart: on Node, the newer ones, the order in which libraries come decides which of them work."""
    archives = [archive for archive in engine_pair.extension_archives() if name_of(archive) in ("pgcrypto", "pg_trgm")]
    archives.reverse()  # the other way round it works
    pair = engine_pair.Pair(archives)
    pair.open()
    try:
        for statement in ("create extension pg_trgm;", "create extension pgcrypto;"):
            ours, theirs = pair.exchange(pgwire.query(statement))
            assert ours == theirs
        ours, _ = pair.exchange(pgwire.query("select 'abc' % 'abd', encode(digest('abc', 'md5'), 'hex');"))
        assert pgwire.Result(ours).rows == [("t", "900150983cd24fb0d6963f7d28e17f72")]
    finally:
        pair.close()
