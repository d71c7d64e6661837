create table book (isbn isbn13 primary key, title text);
insert into book values ('978-0-393-04002-9', 'one'), ('978-0-596-00712-6', 'two');
select b.isbn, isbn(b.isbn) as short, title from book b order by b.isbn;
--> 978-0-393-04002-9 | 0-393-04002-X | one
--> 978-0-596-00712-6 | 0-596-00712-4 | two
insert into book values ('978-0-393-04002-8', 'wrong digit');
--! 22P02
select isbn('0-11-000533-3'), issn('1436-4522'), ean13('9780393040029'), is_valid('978-0-393-04002-9'::isbn13), upc('220356483481');
--> 0-11-000533-3 | 1436-4522 | 978-0-393-04002-9 | t | 220356483481
select isbn13('039304002X') = '978-0-393-04002-9'::isbn13;
--> t
-- after a restart
select indexed($$select title from book where isbn = '9780596007126'::isbn13$$, 'book_pkey');
--> 1
