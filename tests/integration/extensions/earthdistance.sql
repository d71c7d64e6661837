create table city (name text, lat float8, lon float8);
insert into city values ('Berlin', 52.52, 13.405), ('Paris', 48.8566, 2.3522), ('Madrid', 40.4168, -3.7038), ('Rome', 41.9028, 12.4964);
create index city_earth on city using gist (ll_to_earth(lat, lon));
select round(earth_distance(ll_to_earth(52.52, 13.405), ll_to_earth(48.8566, 2.3522)) / 1000);
--> 878
select indexed('select name from city where earth_box(ll_to_earth(48.8566, 2.3522), 900000) @> ll_to_earth(lat, lon)', 'city_earth');
--> 4
select round((point(13.405, 52.52) <@> point(2.3522, 48.8566))::numeric);
--> 545
select name from city order by ll_to_earth(lat, lon) <-> ll_to_earth(45, 10);
--> Rome
--> Paris
--> Berlin
--> Madrid
-- after a restart
select indexed('select name from city where earth_box(ll_to_earth(40, 0), 600000) @> ll_to_earth(lat, lon)', 'city_earth');
--> 1
