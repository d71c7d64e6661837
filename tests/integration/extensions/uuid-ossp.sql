select uuid_nil(), uuid_ns_dns(), uuid_ns_url();
--> 00000000-0000-0000-0000-000000000000 | 6ba7b810-9dad-11d1-80b4-00c04fd430c8 | 6ba7b811-9dad-11d1-80b4-00c04fd430c8
select uuid_generate_v3(uuid_ns_dns(), 'www.widgets.com'), uuid_generate_v5(uuid_ns_dns(), 'www.widgets.com');
--> 3d813cbb-47fb-32ba-91df-831e1593ac29 | 21f7f8de-8051-5b89-8680-0195ef798b6a
select count(distinct u), bool_and(substr(u::text, 15, 1) = '4') from (select uuid_generate_v4() as u from generate_series(1, 100)) s;
--> 100 | t
select substr(uuid_generate_v1()::text, 15, 1), uuid_generate_v1() <> uuid_generate_v1(), substr(uuid_generate_v1mc()::text, 15, 1);
--> 1 | t | 1
create table t (id uuid primary key default uuid_generate_v4());
insert into t select from generate_series(1, 10);
-- after a restart
select count(*) from t;
--> 10
select uuid_generate_v5(uuid_ns_url(), 'https://example.com');
--> 4fd35a71-71ef-5a55-a9d9-aa75c889a6d0
