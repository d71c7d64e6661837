import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.StringReader;
import java.math.BigDecimal;
import java.sql.*;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.Arrays;
import java.util.Properties;
import java.util.TimeZone;
import java.util.UUID;
import java.util.concurrent.*;
import org.flywaydb.core.Flyway;
import org.postgresql.PGConnection;
import org.postgresql.util.PSQLException;

/** Checks with JDBC, HikariCP and Flyway: each passes or says why not. */
public class Clients {
  static final String HOST = System.getenv("PGHOST");
  static final String CA = System.getenv().getOrDefault("TLS_CA", "");

  interface Run { void run() throws Exception; }

  static void check(String name, Run run) {
    try {
      run.run();
      System.out.println("pass " + name);
    } catch (Throwable failure) {
      failure.printStackTrace();
      System.out.println("fail " + name + " " + String.valueOf(failure).replaceAll("\\s+", " "));
    }
  }

  static void that(boolean condition) {
    if (!condition) throw new AssertionError("not as expected");
  }

  static void fails(String state, Run run) throws Exception {
    try {
      run.run();
    } catch (SQLException failure) {
      if (!state.equals(failure.getSQLState())) throw failure;
      return;
    }
    throw new AssertionError("no error " + state);
  }

  static String url(String host) {
    return "jdbc:postgresql://" + host + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
  }

  static Connection connect(String... options) throws SQLException {
    Properties all = new Properties();
    all.setProperty("user", System.getenv("PGUSER"));
    all.setProperty("password", System.getenv("PGPASSWORD"));
    all.setProperty("sslmode", "disable");
    String host = HOST;
    for (int i = 0; i < options.length; i += 2) {
      if (options[i].equals("host")) host = options[i + 1];
      else all.setProperty(options[i], options[i + 1]);
    }
    return DriverManager.getConnection(url(host), all);
  }

  static String one(Connection c, String sql) throws SQLException {
    try (Statement s = c.createStatement(); ResultSet r = s.executeQuery(sql)) {
      r.next();
      return r.getString(1);
    }
  }

  static void execute(Connection c, String sql) throws SQLException {
    try (Statement s = c.createStatement()) {
      s.execute(sql);
    }
  }

  public static void main(String[] arguments) {
    TimeZone.setDefault(TimeZone.getTimeZone("Asia/Tokyo"));
    check("settings", () -> {
      try (Connection c = connect("ApplicationName", "me", "currentSchema", "pg_catalog,public", "options",
          "-c work_mem=5MB")) {
        that(one(c, "show work_mem").equals("5MB"));
        that(one(c, "show application_name").equals("me"));
        that(one(c, "show search_path").equals("pg_catalog,public"));
        that(one(c, "show timezone").equals("Asia/Tokyo"));
      }
    });
    check("protocol_3_2", () -> {
      try (Connection c = connect("protocolVersion", "3.2")) {
        that(one(c, "select 1").equals("1"));
      }
    });
    check("prepared", () -> {
      try (Connection c = connect("prepareThreshold", "2");
          PreparedStatement s = c.prepareStatement("select ?::int + 1")) {
        for (int n = 0; n < 200; n++) {
          s.setInt(1, n);
          try (ResultSet r = s.executeQuery()) {
            r.next();
            that(r.getInt(1) == n + 1);
          }
        }
      }
    });
    check("binary", () -> {
      try (Connection c = connect("prepareThreshold", "-1", "binaryTransfer", "true");
          PreparedStatement s = c.prepareStatement(
              "select ?::int8, ?::float8, ?::numeric, ?::text, ?::bytea, ?::timestamptz, ?::uuid, ?::int[]")) {
        byte[] bytes = new byte[256];
        for (int i = 0; i < 256; i++) bytes[i] = (byte) i;
        OffsetDateTime at = OffsetDateTime.of(2024, 2, 29, 1, 2, 3, 456000, ZoneOffset.UTC);
        s.setLong(1, -(1L << 40));
        s.setDouble(2, 2.5);
        s.setBigDecimal(3, new BigDecimal("12345678901234567890.123"));
        s.setString(4, "ünd");
        s.setBytes(5, bytes);
        s.setObject(6, at);
        s.setObject(7, new UUID(1, 2));
        s.setArray(8, c.createArrayOf("int4", new Integer[] {1, null, 3}));
        try (ResultSet r = s.executeQuery()) {
          r.next();
          that(r.getLong(1) == -(1L << 40) && r.getDouble(2) == 2.5);
          that(r.getBigDecimal(3).equals(new BigDecimal("12345678901234567890.123")));
          that(r.getString(4).equals("ünd") && Arrays.equals(r.getBytes(5), bytes));
          that(r.getObject(6, OffsetDateTime.class).isEqual(at));
          that(r.getObject(7).equals(new UUID(1, 2)));
          that(Arrays.equals((Integer[]) r.getArray(8).getArray(), new Integer[] {1, null, 3}));
        }
      }
    });
    check("copy", () -> {
      try (Connection c = connect()) {
        execute(c, "create temp table t (n int, s text)");
        StringBuilder lines = new StringBuilder();
        for (int n = 0; n < 100000; n++) lines.append(n).append("\trow ").append(n).append('\n');
        var copy = c.unwrap(PGConnection.class).getCopyAPI();
        that(copy.copyIn("copy t from stdin", new StringReader(lines.toString())) == 100000);
        that(copy.copyOut("copy t to stdout", new ByteArrayOutputStream()) == 100000);
        InputStream wrong = new ByteArrayInputStream("x\ty\n".repeat(5_000_000).getBytes());
        fails("22P02", () -> copy.copyIn("copy t from stdin", wrong));
        that(one(c, "select 1").equals("1"));
      }
    });
    check("errors", () -> {
      try (Connection c = connect()) {
        fails("42601", () -> one(c, "selec"));
        fails("22012", () -> one(c, "select 1/0"));
        fails("42P01", () -> one(c, "table missing"));
        fails("28P01", () -> connect("password", "wrong"));
      }
    });
    check("transactions", () -> {
      try (Connection c = connect()) {
        c.setAutoCommit(false);
        c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
        execute(c, "create temp table t (n int)");
        execute(c, "insert into t values (1)");
        Savepoint p = c.setSavepoint();
        execute(c, "insert into t values (2)");
        c.rollback(p);
        that(one(c, "select sum(n) from t").equals("1"));
        c.commit();
        try (PreparedStatement s = c.prepareStatement("insert into t values (?)")) {
          for (int n = 0; n < 5000; n++) {
            s.setInt(1, n);
            s.addBatch();
          }
          that(s.executeBatch().length == 5000);
        }
        c.commit();
        try (Statement s = c.createStatement()) {
          s.setFetchSize(100);
          long sum = 0;
          try (ResultSet r = s.executeQuery("select generate_series(1, 10000)")) {
            while (r.next()) sum += r.getInt(1);
          }
          that(sum == 50005000);
        }
        c.rollback();
      }
    });
    check("metadata", () -> {
      try (Connection c = connect()) {
        execute(c, "create table jm (n int primary key, s varchar(10) not null)");
        try (ResultSet r = c.getMetaData().getColumns(null, "public", "jm", null)) {
          r.next();
          that(r.getString("COLUMN_NAME").equals("n"));
        }
        try (ResultSet r = c.getMetaData().getPrimaryKeys(null, "public", "jm")) {
          that(r.next());
        }
        execute(c, "drop table jm");
      }
    });
    check("cancel", () -> {
      try (Connection c = connect(); Statement s = c.createStatement()) {
        ScheduledExecutorService later = Executors.newScheduledThreadPool(1);
        later.schedule(() -> { s.cancel(); return 0; }, 300, TimeUnit.MILLISECONDS);
        fails("57014", () -> s.execute("select pg_sleep(30)"));
        s.setQueryTimeout(1);
        fails("57014", () -> s.execute("select pg_sleep(30)"));
        s.setQueryTimeout(0);
        that(one(c, "select 1").equals("1"));
        later.shutdown();
      }
    });
    check("notify", () -> {
      try (Connection a = connect(); Connection b = connect()) {
        execute(a, "listen news");
        execute(b, "notify news, 'hello'");
        var got = a.unwrap(PGConnection.class).getNotifications(10000);
        that(got != null && got.length == 1 && got[0].getParameter().equals("hello"));
      }
    });
    check("pool", () -> {
      HikariConfig config = new HikariConfig();
      config.setJdbcUrl(url(HOST) + "?sslmode=disable");
      config.setUsername(System.getenv("PGUSER"));
      config.setPassword(System.getenv("PGPASSWORD"));
      config.setMaximumPoolSize(10);
      config.setMinimumIdle(10);
      try (HikariDataSource pool = new HikariDataSource(config)) {
        try (Connection c = pool.getConnection()) {
          execute(c, "create table counter_j (n int); insert into counter_j values (0)");
        }
        ExecutorService threads = Executors.newFixedThreadPool(20);
        var work = new java.util.ArrayList<Callable<Integer>>();
        for (int i = 0; i < 20; i++) {
          work.add(() -> {
            for (int n = 0; n < 50; n++) {
              try (Connection c = pool.getConnection()) {
                execute(c, "update counter_j set n = n + 1");
              }
            }
            return 0;
          });
        }
        for (var done : threads.invokeAll(work)) done.get();
        threads.shutdown();
        try (Connection c = pool.getConnection()) {
          that(one(c, "select n from counter_j").equals("1000"));
          execute(c, "drop table counter_j");
        }
      }
    });
    check("flyway", () -> {
      Flyway flyway = Flyway.configure()
          .dataSource(url(HOST) + "?sslmode=disable", System.getenv("PGUSER"), System.getenv("PGPASSWORD"))
          .schemas("flyway").locations("classpath:migrations").cleanDisabled(false)
          .configuration(java.util.Map.of("flyway.postgresql.transactional.lock", "false")).load();
      that(flyway.migrate().migrationsExecuted == 3);
      that(flyway.migrate().migrationsExecuted == 0);
      flyway.validate();
      flyway.clean();
      // Two that migrate at once wait for each other.
      ExecutorService threads = Executors.newFixedThreadPool(2);
      Callable<Integer> migrate = () -> flyway.migrate().migrationsExecuted;
      int count = 0;
      for (var done : threads.invokeAll(java.util.List.of(migrate, migrate))) count += done.get();
      threads.shutdown();
      that(count == 3);
      flyway.clean();
    });
    check("tls", () -> {
      if (CA.isEmpty()) return;
      for (String[] more : new String[][] {
          {}, {"channelBinding", "prefer"}, {"sslNegotiation", "direct"}}) {
        String[] options = new String[6 + more.length];
        System.arraycopy(new String[] {"host", "localhost", "sslmode", "verify-full", "sslrootcert", CA}, 0, options, 0, 6);
        System.arraycopy(more, 0, options, 6, more.length);
        try (Connection c = connect(options)) {
          that(one(c, "select 1").equals("1"));
        }
      }
    });
    System.exit(0);
  }
}
