create table sx_book (id serial primary key, author int references sx_author, title text);
create index sx_title on sx_book (title);
