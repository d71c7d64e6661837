"""Analytical queries in the style of TPC-H: its shape of tables and questions, with data of our own
generator and in our own words. Not TPC-H, and not comparable with its results."""

from __future__ import annotations

import datetime
import random

from bulk import copy_in
from workload import Item, Workload

SEED = 22
FULL = 0.05  # what scale 1 means as a TPC-H scale factor: 300,000 lines
FIRST = datetime.date(1992, 1, 1)
DAYS = 2406

REGIONS = ["AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"]
NATIONS = [(f"NATION {i:02}", i % 5) for i in range(25)]
SEGMENTS = ["AUTOMOBILE", "BUILDING", "FURNITURE", "HOUSEHOLD", "MACHINERY"]
PRIORITIES = ["1-URGENT", "2-HIGH", "3-MEDIUM", "4-LOW", "5-NONE"]
MODES = ["AIR", "AIR REG", "FOB", "MAIL", "RAIL", "SHIP", "TRUCK"]
SHIPPING = ["COLLECT COD", "DELIVER IN PERSON", "NONE", "TAKE BACK RETURN"]
KINDS = [f"{a} {b} {c}" for a in ("ECONOMY", "LARGE", "PROMO", "SMALL", "STANDARD")
         for b in ("ANODIZED", "BRUSHED", "PLATED", "POLISHED") for c in ("BRASS", "STEEL", "TIN")]
CONTAINERS = [f"{a} {b}" for a in ("JUMBO", "LG", "MED", "SM", "WRAP")
              for b in ("BAG", "BOX", "CASE", "DRUM", "PACK")]
COLOURS = ["almond", "azure", "blue", "brown", "coral", "cyan", "forest", "green", "grey", "ivory",
           "khaki", "lime", "navy", "olive", "pink", "plum", "red", "rose", "salmon", "tan", "violet"]
WORDS = ["accounts", "after", "bold", "carefully", "deposits", "even", "final", "furiously", "ideas",
         "ironic", "packages", "pending", "quickly", "regular", "requests", "silent", "special"]

SCHEMA = [
    "CREATE TABLE region (r_key int PRIMARY KEY, r_name char(25))",
    "CREATE TABLE nation (n_key int PRIMARY KEY, n_name char(25), n_region int)",
    "CREATE TABLE supplier (s_key int PRIMARY KEY, s_name char(25), s_nation int, s_balance numeric(12,2))",
    "CREATE TABLE customer (c_key int PRIMARY KEY, c_name varchar(25), c_nation int, c_phone char(15), "
    "c_balance numeric(12,2), c_segment char(10))",
    "CREATE TABLE part (p_key int PRIMARY KEY, p_name varchar(55), p_brand char(10), p_type varchar(25), "
    "p_size int, p_container char(10))",
    "CREATE TABLE partsupp (ps_part int, ps_supplier int, ps_available int, ps_cost numeric(12,2), "
    "PRIMARY KEY (ps_part, ps_supplier))",
    "CREATE TABLE orders (o_key int PRIMARY KEY, o_customer int, o_price numeric(12,2), o_date date, "
    "o_priority char(15), o_comment varchar(79))",
    "CREATE TABLE line (l_order int, l_part int, l_supplier int, l_number int, l_quantity numeric(12,2), "
    "l_price numeric(12,2), l_discount numeric(12,2), l_tax numeric(12,2), l_returned char(1), "
    "l_status char(1), l_shipped date, l_committed date, l_received date, l_instruct char(25), "
    "l_mode char(10), PRIMARY KEY (l_order, l_number))",
]
INDEXES = ["CREATE INDEX ON orders (o_customer)", "CREATE INDEX ON line (l_part, l_supplier)"]


def tables(factor: float) -> dict[str, list[bytes]]:
    random_ = random.Random(SEED)
    pick, number = random_.choice, random_.randrange
    days = [(FIRST + datetime.timedelta(days=i)).isoformat() for i in range(DAYS + 200)]

    def money(limit: int) -> str:
        return f"{number(limit) / 100:.2f}"

    def lines(rows) -> list[bytes]:
        return [("\t".join(map(str, row)) + "\n").encode() for row in rows]

    suppliers, parts = max(int(10_000 * factor), 20), max(int(200_000 * factor), 100)
    customers, orders = max(int(150_000 * factor), 100), max(int(1_500_000 * factor), 500)
    order_rows, line_rows = [], []
    for order in range(1, orders + 1):
        day = number(DAYS - 151)
        order_rows.append((order, 1 + number(customers * 2 // 3), money(50_000_000), days[day],
                           pick(PRIORITIES), " ".join(pick(WORDS) for _ in range(5))))
        for n in range(1, 2 + number(7)):
            part, quantity = 1 + number(parts), 1 + number(50)
            shipped = day + 1 + number(121)
            received = shipped + 1 + number(30)
            old = received < 1260
            line_rows.append((
                order, part, 1 + (part + n * 7) % suppliers, n, quantity,
                f"{quantity * (90000 + part * 37 % 110001) / 100:.2f}", f"0.{number(11):02}",
                f"0.0{number(9)}", pick("AR") if old else "N", "F" if shipped < 1250 else "O",
                days[shipped], days[day + 30 + number(61)], days[received], pick(SHIPPING),
                pick(MODES)))
    return {
        "region": lines(enumerate(REGIONS)),
        "nation": lines((i, name, region) for i, (name, region) in enumerate(NATIONS)),
        "supplier": lines((i, f"Supplier#{i:09}", number(25), money(1_000_000))
                          for i in range(1, suppliers + 1)),
        "customer": lines((i, f"Customer#{i:09}", number(25), f"{10 + number(25)}-{number(10**9):09}",
                           f"{number(1_100_000) / 100 - 1000:.2f}", pick(SEGMENTS))
                          for i in range(1, customers + 1)),
        "part": lines((i, " ".join(random_.sample(COLOURS, 3)), f"Brand#{1 + number(5)}{1 + number(5)}",
                       pick(KINDS), 1 + number(50), pick(CONTAINERS)) for i in range(1, parts + 1)),
        "partsupp": lines((part, supplier, number(10000), money(100_000))
                          for part in range(1, parts + 1)
                          for supplier in sorted({1 + (part + n * 7) % suppliers for n in range(1, 8)})),
        "orders": lines(order_rows),
        "line": lines(line_rows),
    }


# Each has one answer: ties are broken, and there is no floating point in them.
QUERIES = {
    "Q1 pricing summary": """
        SELECT l_returned, l_status, sum(l_quantity), sum(l_price), sum(l_price * (1 - l_discount)),
          sum(l_price * (1 - l_discount) * (1 + l_tax)), avg(l_quantity), avg(l_price), avg(l_discount),
          count(*)
        FROM line WHERE l_shipped <= date '1998-12-01' - 90
        GROUP BY l_returned, l_status ORDER BY l_returned, l_status""",
    "Q3 unshipped orders": """
        SELECT l_order, sum(l_price * (1 - l_discount)) AS revenue, o_date
        FROM customer JOIN orders ON c_key = o_customer JOIN line ON l_order = o_key
        WHERE c_segment = 'BUILDING' AND o_date < date '1995-03-15' AND l_shipped > date '1995-03-15'
        GROUP BY l_order, o_date ORDER BY revenue DESC, o_date, l_order LIMIT 10""",
    "Q4 order priorities": """
        SELECT o_priority, count(*) FROM orders
        WHERE o_date >= date '1993-07-01' AND o_date < date '1993-10-01'
          AND EXISTS (SELECT FROM line WHERE l_order = o_key AND l_committed < l_received)
        GROUP BY o_priority ORDER BY o_priority""",
    "Q5 local suppliers": """
        SELECT n_name, sum(l_price * (1 - l_discount)) AS revenue
        FROM customer JOIN orders ON c_key = o_customer JOIN line ON l_order = o_key
          JOIN supplier ON l_supplier = s_key AND c_nation = s_nation
          JOIN nation ON s_nation = n_key JOIN region ON n_region = r_key
        WHERE r_name = 'ASIA' AND o_date >= date '1994-01-01' AND o_date < date '1995-01-01'
        GROUP BY n_name ORDER BY revenue DESC, n_name""",
    "Q6 revenue change": """
        SELECT sum(l_price * l_discount) FROM line
        WHERE l_shipped >= date '1994-01-01' AND l_shipped < date '1995-01-01'
          AND l_discount BETWEEN 0.05 AND 0.07 AND l_quantity < 24""",
    "Q9 product profit": """
        SELECT nation, year, sum(amount) FROM (
          SELECT n_name AS nation, extract(year FROM o_date) AS year,
            l_price * (1 - l_discount) - ps_cost * l_quantity AS amount
          FROM part JOIN line ON p_key = l_part JOIN supplier ON s_key = l_supplier
            JOIN partsupp ON ps_part = l_part AND ps_supplier = l_supplier
            JOIN orders ON o_key = l_order JOIN nation ON n_key = s_nation
          WHERE p_name LIKE '%green%') profit
        GROUP BY nation, year ORDER BY nation, year DESC""",
    "Q10 returned items": """
        SELECT c_key, c_name, sum(l_price * (1 - l_discount)) AS revenue, c_balance, n_name, c_phone
        FROM customer JOIN orders ON c_key = o_customer JOIN line ON l_order = o_key
          JOIN nation ON c_nation = n_key
        WHERE o_date >= date '1993-10-01' AND o_date < date '1994-01-01' AND l_returned = 'R'
        GROUP BY c_key, c_name, c_balance, c_phone, n_name ORDER BY revenue DESC, c_key LIMIT 20""",
    "Q12 shipping modes": """
        SELECT l_mode, sum(CASE WHEN o_priority IN ('1-URGENT', '2-HIGH') THEN 1 ELSE 0 END),
          sum(CASE WHEN o_priority NOT IN ('1-URGENT', '2-HIGH') THEN 1 ELSE 0 END)
        FROM orders JOIN line ON o_key = l_order
        WHERE l_mode IN ('MAIL', 'SHIP') AND l_committed < l_received AND l_shipped < l_committed
          AND l_received >= date '1994-01-01' AND l_received < date '1995-01-01'
        GROUP BY l_mode ORDER BY l_mode""",
    "Q13 orders a customer": """
        SELECT orders, count(*) AS customers FROM (
          SELECT c_key, count(o_key) AS orders FROM customer
            LEFT JOIN orders ON c_key = o_customer AND o_comment NOT LIKE '%special%requests%'
          GROUP BY c_key) counted
        GROUP BY orders ORDER BY customers DESC, orders DESC""",
    "Q14 promotion": """
        SELECT round(100 * sum(CASE WHEN p_type LIKE 'PROMO%' THEN l_price * (1 - l_discount) ELSE 0 END)
          / sum(l_price * (1 - l_discount)), 6)
        FROM line JOIN part ON l_part = p_key
        WHERE l_shipped >= date '1995-09-01' AND l_shipped < date '1995-10-01'""",
    "Q18 large orders": """
        SELECT c_name, c_key, o_key, o_date, o_price, sum(l_quantity)
        FROM customer JOIN orders ON c_key = o_customer JOIN line ON o_key = l_order
        WHERE o_key IN (SELECT l_order FROM line GROUP BY l_order HAVING sum(l_quantity) > 250)
        GROUP BY c_name, c_key, o_key, o_date, o_price ORDER BY o_price DESC, o_date, o_key LIMIT 100""",
    "Q19 discounted revenue": """
        SELECT sum(l_price * (1 - l_discount)) FROM line JOIN part ON p_key = l_part
        WHERE l_mode IN ('AIR', 'AIR REG') AND l_instruct = 'DELIVER IN PERSON' AND (
          (p_brand = 'Brand#12' AND p_container LIKE 'SM%' AND l_quantity BETWEEN 1 AND 11 AND p_size <= 15)
          OR (p_brand = 'Brand#23' AND p_container LIKE 'MED%' AND l_quantity BETWEEN 10 AND 20 AND p_size <= 20)
          OR (p_brand = 'Brand#34' AND p_container LIKE 'LG%' AND l_quantity BETWEEN 20 AND 30 AND p_size <= 25))""",
    "Q22 customers without orders": """
        SELECT substring(c_phone FROM 1 FOR 2) AS code, count(*), sum(c_balance) FROM customer
        WHERE c_balance > (SELECT avg(c_balance) FROM customer WHERE c_balance > 0)
          AND NOT EXISTS (SELECT FROM orders WHERE o_customer = c_key)
        GROUP BY code ORDER BY code""",
}


def analytical(scale: float) -> Workload:
    workload = Workload("analytical")
    workload.statements("tables", SCHEMA, timed=False)
    for name, lines in tables(FULL * scale).items():
        workload.items.append(Item(f"load {name}", [copy_in(f"COPY {name} FROM STDIN", lines)],
                                   timed=False))
    workload.statements("indexes", [*INDEXES, "VACUUM ANALYZE"], timed=False)
    for name, query in QUERIES.items():
        workload.statements(name, [" ".join(query.split())] * 3)
    return workload
