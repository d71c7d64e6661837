create table sx_author (id serial primary key, name text not null unique);
