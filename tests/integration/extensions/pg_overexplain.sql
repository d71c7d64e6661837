load 'pg_overexplain';
explain (debug, costs off) select 1 as one;
--> Result
-->   Disabled Nodes: 0
-->   Parallel Safe: false
-->   Plan Node ID: 0
--> PlannedStmt:
-->   Command Type: select
-->   Flags: canSetTag
-->   Subplans Needing Rewind: none
-->   Relation OIDs: none
-->   Executor Parameter Types: none
-->   Parse Location: 0 to end
create table t (id int);
explain (range_table, costs off) select id from t;
--> Seq Scan on t
-->   Scan RTI: 1
--> RTI 1 (relation, in-from-clause):
-->   Eref: t (id)
-->   Relation: t
-->   Relation Kind: relation
-->   Relation Lock Mode: AccessShareLock
-->   Permission Info Index: 1
--> Unprunable RTIs: 1
select explained('select 1');
--> Result
-- after a restart
load 'pg_overexplain';
explain (range_table, costs off) select 2;
--> Result
--> RTI 1 (result):
-->   Eref: "*RESULT*" ()
