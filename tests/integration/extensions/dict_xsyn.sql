create text search dictionary stars (template = xsyn_template, rules = 'xsyn_sample', keeporig = true, matchsynonyms = true);
select ts_lexize('stars', 'supernova'), ts_lexize('stars', 'sn'), ts_lexize('stars', 'grb');
--> {supernova,sn,sne,1987a} | {supernova,sn,sne,1987a} | null
alter text search dictionary stars (rules = 'no_such_rules');
--! F0000
-- after a restart
select ts_lexize('stars', 'supernova');
--> {supernova,sn,sne,1987a}
