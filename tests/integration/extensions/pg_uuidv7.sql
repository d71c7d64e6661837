select uuid_v7_to_timestamptz('018570bb-4a7d-7c7e-8df4-6d47afd8c8fc');
--> 2023-01-02 04:26:40.637+00
select uuid_timestamptz_to_v7('2023-01-02 04:26:40.637+00', true), substr(uuid_timestamptz_to_v7('2023-01-02 04:26:40.637+00')::text, 1, 15);
--> 018570bb-4a7d-7000-8000-000000000000 | 018570bb-4a7d-7
select abs(extract(epoch from uuid_v7_to_timestamptz(uuid_generate_v7()) - clock_timestamp())) < 60, count(distinct uuid_generate_v7()) from generate_series(1, 100);
--> t | 100
create table t (id uuid primary key default uuid_generate_v7(), n int);
insert into t (n) select g from generate_series(1, 100) g;
-- after a restart
select count(*), bool_and(substr(id::text, 15, 1) = '7') from t;
--> 100 | t
