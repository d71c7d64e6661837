-- xml: this build has libxml2.
select '<a>b</a>'::xml, xmlparse(document '<?xml version="1.0"?><r/>'), xmlparse(content 'a<b/>c'), ''::xml;
select '<a>'::xml;
select xmlparse(document 'text');
select xmlelement(name foo), xmlelement(name "b r", xmlattributes('v' as a, 1 as "x<y"), 'cont<ent', xmlelement(name c)), xmlforest(1 as a, 'x&y' as b), xmlpi(name php, 'echo 1'), xmlcomment('hi'), xmlconcat('<a/>', '<b/>'), xmlroot('<a/>'::xml, version '1.1', standalone yes);
select xmlcomment('a--b');
select xmlpi(name xml, 'x');
select xmlagg(x order by x::text desc) from unnest(array['<a/>'::xml, '<b/>']) x;
select xmlserialize(content '<a><b>1</b></a>' as text), xmlserialize(document '<a><b>1</b></a>' as text indent), '<a/>' is document, 'x<a/>'::xml is document;
select xpath('/a/b/text()', '<a><b>1</b><b>2</b></a>'), xpath('//@id', '<a id="x"/>'), xpath('count(//b)', '<a><b/><b/></a>'), xpath('/n:a', '<a xmlns="u"/>', array[array['n', 'u']]), xpath_exists('//z', '<a/>'), xmlexists('//b' passing '<a><b/></a>');
select xpath('/a[', '<a/>');
select xpath('/q:a', '<a/>');
select xml_is_well_formed('<a/>'), xml_is_well_formed('<a'), xml_is_well_formed_document('x'), xml_is_well_formed_content('x');
select * from xmltable('/rows/row' passing '<rows><row id="1"><n>a</n></row><row id="2"/></rows>' columns id int path '@id', ord for ordinality, n text path 'n' default 'none');
select * from xmltable('/r' passing '<r><x>a</x></r>' columns x int path 'x');
select query_to_xml('select 1 as a, ''x<y'' as b, null as c', true, false, ''), table_to_xml('pg_am', false, true, 'urn:x') is not null, query_to_xmlschema('select 1 as a', false, false, '');
select xmltext('a<b&c'), xml '<a/>' = xml '<a/>';
select xmltext('a<b&c'), '<a>&#233;é</a>'::xml::text, '<!DOCTYPE a [<!ENTITY e "ent">]><a>&e;</a>'::xml;
set xmlbinary = hex; select xmlelement(name b, '\x00ff'::bytea); reset xmlbinary; select xmlelement(name b, '\x00ff'::bytea), xmlelement(name d, date '2024-01-01', true, 'NaN'::float8);
