select levenshtein('GUMBO', 'GAMBOL'), levenshtein('GUMBO', 'GAMBOL', 2, 1, 1), levenshtein_less_equal('extensive', 'exhaustive', 2);
--> 2 | 3 | 3
select soundex('Anne'), soundex('Margaret'), difference('Anne', 'Andrew');
--> A500 | M626 | 2
select metaphone('GUMBO', 4), dmetaphone('gumbo'), dmetaphone_alt('Schmidt');
--> KM | KMP | SMT
select daitch_mokotoff('George'), daitch_mokotoff('Straße') && daitch_mokotoff('Strasse');
--> {595000} | t
select levenshtein(repeat('a', 300), 'b');
--! 22023
-- after a restart
select soundex('Robert') = soundex('Rupert'), levenshtein('ça', 'ca');
--> t | 1
