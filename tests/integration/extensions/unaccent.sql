select unaccent('Hôtel'), unaccent('ŒUVRE Æ ß ﬀ'), unaccent('unaccent', 'Ťšř');
--> Hotel | OEUVRE AE ss ff | Tsr
select ts_lexize('unaccent', 'Hôtel'), ts_lexize('unaccent', 'Hotel');
--> {Hotel} | null
create text search configuration fr (copy = french);
alter text search configuration fr alter mapping for hword, hword_part, word with unaccent, french_stem;
select to_tsvector('fr', 'Hôtels de la Mer') @@ to_tsquery('fr', 'hotel');
--> t
select unaccent('no_such_dictionary', 'x');
--! 42704
-- after a restart
select to_tsvector('fr', 'Élève'), unaccent('Việt Nam');
--> 'elev':1 | Viet Nam
