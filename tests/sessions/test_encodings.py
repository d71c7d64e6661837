"""Conversions between encodings give what they give on native PostgreSQL, for every character.

By hand (make encodings-test): it needs the native build of build_postgres.sh. PGLITE_PORT names another program.
"""

import pytest
from servers import Native
from test_replication import cluster, install, sql  # noqa: F401

# What UTF8 has a conversion to, and of how many bytes the characters are that are tried of it.
ENCODINGS = dict.fromkeys("""
    LATIN1 LATIN2 LATIN3 LATIN4 LATIN5 LATIN6 LATIN7 LATIN8 LATIN9 LATIN10 ISO_8859_5 ISO_8859_6 ISO_8859_7 ISO_8859_8
    WIN866 WIN874 WIN1250 WIN1251 WIN1252 WIN1253 WIN1254 WIN1255 WIN1256 WIN1257 WIN1258 KOI8R KOI8U""".split(), 1)
ENCODINGS |= dict.fromkeys(
    "EUC_CN EUC_JP EUC_JIS_2004 EUC_KR EUC_TW BIG5 GB18030 GBK JOHAB SJIS SHIFT_JIS_2004 UHC".split(), 2)
# Others have some with single bytes, and with MULE_INTERNAL.
PAIRS = [("LATIN2", "WIN1250"), ("WIN1251", "KOI8R"), ("WIN866", "ISO_8859_5"), ("EUC_JP", "SJIS"), ("EUC_TW", "BIG5"),
         ("EUC_JIS_2004", "SHIFT_JIS_2004"), *((name, "MULE_INTERNAL") for name in (
             "LATIN1", "LATIN2", "LATIN3", "LATIN4", "WIN1250", "KOI8R", "WIN866", "WIN1251", "ISO_8859_5", "EUC_CN",
             "EUC_JP", "EUC_KR", "EUC_TW", "SJIS", "BIG5"))]

FUNCTIONS = """
create function converted(bytes bytea, source name, target name) returns text language plpgsql as $$
begin return encode(convert(bytes, source, target), 'hex');
exception when others then return sqlstate || sqlerrm; end $$;
create function all_converted(source name, target name, first int, last int, extra bytea) returns text
language sql as $$
select md5(string_agg(converted(decode(lpad(to_hex(i), case when i < 256 then 2 else 4 end, '0'), 'hex') || extra,
                                source, target), ',' order by i)) from generate_series(first, last) i $$;
create function all_from_utf8(target name, first int, last int) returns text language sql as $$
select md5(string_agg(converted(convert_to(chr(i), 'UTF8'), 'UTF8', target), ',' order by i))
from generate_series(first, last) i where i not between 55296 and 57343 $$;
"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory, install):  # noqa: F811
    made = [cluster(tmp_path_factory.mktemp("cluster"), install, "memory://", []),
            Native(tmp_path_factory.mktemp("native"), install, [])]
    for server in made:
        server.start()
        sql(server, FUNCTIONS)
    yield made
    for server in made:
        server.stop()
        server.close()


def same(servers, query: str) -> None:
    ours, native = (sql(server, query) for server in servers)
    assert ours == native, query


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_to_utf8_and_back(servers, encoding):
    longest = 65535 if ENCODINGS[encoding] == 2 else 255
    same(servers, f"select all_converted('{encoding}', 'UTF8', 1, {longest}, '')")
    same(servers, f"select all_from_utf8('{encoding}', 1, 65535)")


@pytest.mark.parametrize("source, target", PAIRS + [pair[::-1] for pair in PAIRS])
def test_between_others(servers, source, target):
    for first, extra in ((1, ""), (0x8080, "\\xa1"), (0x8080, "\\xa1a1")):
        same(servers, f"select all_converted('{source}', '{target}', {first}, 65535, '{extra}')")


@pytest.mark.parametrize("encoding", ["EUC_TW", "EUC_JP", "EUC_JIS_2004", "GB18030", "SHIFT_JIS_2004"])
def test_characters_of_many_bytes(servers, encoding):
    # The planes of EUC_TW, JIS X 0212 and 0213, four bytes of GB18030.
    for extra in ("\\xa1a1", "\\xb0fe", "\\x8130", "\\x9a35"):
        same(servers, f"select all_converted('{encoding}', 'UTF8', {0x8080}, {0x9FFF}, '{extra}')")
    same(servers, f"select all_from_utf8('{encoding}', {0x1F000}, {0x2FFFF})")


@pytest.mark.parametrize("target", ["EUC_JIS_2004", "SHIFT_JIS_2004"])
def test_pairs_of_characters_that_are_one(servers, target):
    # か with ゜, and what only looks like it: at the end, cut off, with a wrong byte behind.
    for tail in ("e3829a", "e38299", "61", "e382", "e38261", "", "00"):
        same(servers, f"select converted('\\xe3818b{tail}', 'UTF8', '{target}')")
    same(servers, f"select string_agg(converted(convert_to(chr(i) || chr(j), 'UTF8'), 'UTF8', '{target}'), ',')"
                  f" from generate_series({0x3040}, {0x31FF}) i, unnest(array[{0x309A}, {0x300}, {0x301}]) j")


def test_parts_of_characters(servers):
    for bytes_ in ("c3", "c328", "e282", "f09f98", "61c3a900", "c3a961ff", "eda080"):
        for target in ("LATIN1", "WIN1252", "EUC_JP", "GB18030"):
            same(servers, f"select converted('\\x{bytes_}', 'UTF8', '{target}')")
    for bytes_ in ("a4", "8f", "8fa2", "8ea1a1", "61a4a200", "fe"):
        for source in ("EUC_JP", "EUC_TW", "GBK", "GB18030", "SJIS"):
            same(servers, f"select converted('\\x{bytes_}', '{source}', 'UTF8')")
