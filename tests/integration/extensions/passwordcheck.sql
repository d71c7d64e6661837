load 'passwordcheck';
create role weak password 'weak';
--! 22023
create role weak password 'weak1234weak';
--! 22023
create role weak password 'onlyletters';
--! 22023
create role strong password 'l0ng-enough-and-mixed';
drop role strong;
-- after a restart
load 'passwordcheck';
create role weak password 'short1';
--! 22023
