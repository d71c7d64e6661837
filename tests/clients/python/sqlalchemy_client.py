import datetime
import decimal

import sqlalchemy as sa
from checks import DATABASE, HOST, PASSWORD, PORT, USER, at_once, check
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "sa_author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50), unique=True)
    tags: Mapped[list] = mapped_column(pg.ARRAY(sa.Text), default=list)
    extra: Mapped[dict] = mapped_column(pg.JSONB, default=dict)
    books: Mapped[list["Book"]] = relationship(back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "sa_book"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(sa.ForeignKey("sa_author.id"))
    title: Mapped[str]
    price: Mapped[decimal.Decimal] = mapped_column(sa.Numeric(10, 2))
    published: Mapped[datetime.datetime] = mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())
    author: Mapped[Author] = relationship(back_populates="books")


def engine(driver):
    return sa.create_engine(
        sa.URL.create(f"postgresql+{driver}", USER, PASSWORD, HOST, PORT, DATABASE), pool_size=10, max_overflow=0)


for driver in ("psycopg", "psycopg2"):
    e = engine(driver)

    @check
    def schema(e=e):
        Base.metadata.drop_all(e)
        Base.metadata.create_all(e)
        inspector = sa.inspect(e)
        assert {"sa_author", "sa_book"} <= set(inspector.get_table_names())
        assert [k["referred_table"] for k in inspector.get_foreign_keys("sa_book")] == ["sa_author"]
        assert inspector.get_unique_constraints("sa_author")[0]["column_names"] == ["name"]
        reflected = sa.MetaData()
        reflected.reflect(e)
        assert str(reflected.tables["sa_book"].c.price.type) == "NUMERIC(10, 2)"

    @check
    def orm(e=e):
        with Session(e) as s:
            s.add_all(Author(name=f"author {n}", tags=["a", "b"], extra={"n": n},
                             books=[Book(title=f"book {m}", price=decimal.Decimal("1.50")) for m in range(3)])
                      for n in range(100))
            s.commit()
        with Session(e) as s:
            assert s.scalar(sa.select(sa.func.count()).select_from(Book)) == 300
            a = s.scalars(sa.select(Author).where(Author.extra["n"].as_integer() == 7)).one()
            assert a.tags == ["a", "b"] and len(a.books) == 3 and a.books[0].published.tzinfo
            s.delete(a)
            s.commit()
            assert s.scalar(sa.select(sa.func.count()).select_from(Book)) == 297

    @check
    def errors(e=e):
        with Session(e) as s:
            s.add(Author(name="author 1"))
            try:
                s.commit()
                raise AssertionError("no error")
            except sa.exc.IntegrityError:
                s.rollback()

    @check
    def transactions(e=e):
        with e.begin() as c:
            nested = c.begin_nested()
            c.execute(sa.delete(Book))
            nested.rollback()
            assert c.scalar(sa.select(sa.func.count()).select_from(Book)) == 297
        with e.connect().execution_options(isolation_level="SERIALIZABLE") as c:
            assert c.scalar(sa.text("show transaction_isolation")) == "serializable"

    @check
    def upsert(e=e):
        with e.begin() as c:
            statement = pg.insert(Author).values([{"id": 1, "name": "same"}, {"id": 1000, "name": "new"}])
            statement = statement.on_conflict_do_update(index_elements=["id"], set_={"name": statement.excluded.name})
            assert len(c.execute(statement.returning(Author.id)).all()) == 2

    @check
    def pool(e=e):
        def work(n):
            for _ in range(30):
                with e.begin() as c:
                    c.execute(sa.update(Book).where(Book.id == 1).values(price=Book.price + 1))

        with e.begin() as c:
            c.execute(sa.update(Book).where(Book.id == 1).values(price=0))
        at_once(10, work)
        with e.connect() as c:
            assert c.scalar(sa.select(Book.price).where(Book.id == 1)) == 300

    @check
    def clean_up(e=e):
        Base.metadata.drop_all(e)
        e.dispose()
