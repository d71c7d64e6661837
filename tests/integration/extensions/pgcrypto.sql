select encode(digest('abc', 'sha256'), 'hex'), encode(hmac('data', 'key', 'md5'), 'hex');
--> ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad | 9d5c73ef85594d34ec4438b7c97e51d8
select crypt('password', '$2a$06$RQiOJ.3ELirrXwxIZY8q0O'), crypt('foox', '_J9..j2zz'), crypt('secret', gen_salt('bf', 4)) like '$2a$04$%';
--> $2a$06$RQiOJ.3ELirrXwxIZY8q0Opor.9oUAL1MojNiw3NUwpUDdI7wuxEa | _J9..j2zzAYKMvO2BYRY | t
select convert_from(decrypt(encrypt('text', 'sixteen bytes ok', 'aes'), 'sixteen bytes ok', 'aes'), 'UTF8'), encode(encrypt('text', '1234567890123456', 'aes'), 'hex');
--> text | a2e49f638d51a170d7dd63186becd7d8
select pgp_sym_decrypt(pgp_sym_encrypt('compressed ' || repeat('x', 2000), 'pass', 'compress-algo=1, cipher-algo=aes256'), 'pass') = 'compressed ' || repeat('x', 2000);
--> t
select length(gen_random_bytes(32)), count(distinct gen_random_bytes(8)) from generate_series(1, 100);
--> 32 | 100
select pgp_sym_decrypt(pgp_sym_encrypt('text', 'pass'), 'wrong');
--! 39000
select digest('abc', 'no such');
--! 22023
create table secret as select crypt('open sesame', gen_salt('bf', 4)) as hash, pgp_sym_encrypt('the text', 'pass') as message;
-- after a restart
select hash = crypt('open sesame', hash), hash = crypt('wrong', hash), pgp_sym_decrypt(message, 'pass') from secret;
--> t | f | the text
