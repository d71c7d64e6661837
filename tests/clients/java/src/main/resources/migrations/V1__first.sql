create table fw_author (id serial primary key, name text not null unique);
create function fw_upper(t text) returns text immutable language sql as $$ select upper(t) $$;
