create table fw_book (id serial primary key, author int references fw_author, title text);
create index fw_title on fw_book (title);
insert into fw_author (name) values ('one'), ('two');
