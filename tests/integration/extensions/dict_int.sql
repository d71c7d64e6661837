select ts_lexize('intdict', '40865854');
--> {408658}
alter text search dictionary intdict (maxlen = 3, rejectlong = true);
select ts_lexize('intdict', '4086'), ts_lexize('intdict', '408'), ts_lexize('intdict', '-42');
--> {} | {408} | {-42}
create text search configuration numbers (copy = simple);
alter text search configuration numbers alter mapping for int, uint with intdict;
select to_tsvector('numbers', 'of 123 and 123456');
--> '123':2 'and':3 'of':1
-- after a restart
select to_tsvector('numbers', '12 of 1234'), ts_lexize('intdict', '408');
--> '12':1 'of':2 | {408}
