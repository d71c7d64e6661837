alter text search dictionary xsyn (rules = 'xsyn_sample', keeporig = true, matchsynonyms = true);
select ts_lexize('xsyn', 'supernova'), ts_lexize('xsyn', 'sn'), ts_lexize('xsyn', 'grb');
--> {supernova,sn,sne,1987a} | {supernova,sn,sne,1987a} | null
alter text search dictionary xsyn (rules = 'no_such_rules');
--! F0000
-- after a restart
select ts_lexize('xsyn', 'supernova');
--> {supernova,sn,sne,1987a}
