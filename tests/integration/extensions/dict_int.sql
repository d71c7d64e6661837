select ts_lexize('intdict', '40865854');
--> {408658}
create text search dictionary short (template = intdict_template, maxlen = 3, rejectlong = true);
select ts_lexize('short', '4086'), ts_lexize('short', '408'), ts_lexize('short', '-42');
--> {} | {408} | {-42}
create text search configuration numbers (copy = simple);
alter text search configuration numbers alter mapping for int, uint with short;
select to_tsvector('numbers', 'of 123 and 123456');
--> '123':2 'and':3 'of':1
-- after a restart
select to_tsvector('numbers', '12 of 1234'), ts_lexize('short', '408');
--> '12':1 'of':2 | {408}
