"""Django: migrations forth and back, its own applications, the ORM, and a test database (CREATE DATABASE)."""

import os
import shutil
import sys
import tempfile
import threading

from checks import DATABASE, HOST, PASSWORD, PORT, USER, check

work = tempfile.mkdtemp()
app = os.path.join(work, "shop")
os.makedirs(app)
open(os.path.join(app, "__init__.py"), "w").close()
MODELS = """
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.search import SearchVector
from django.db import models

class Customer(models.Model):
    name = models.CharField(max_length=50, unique=True)
    tags = ArrayField(models.CharField(max_length=10), default=list)
    data = models.JSONField(default=dict)
    made = models.DateTimeField(auto_now_add=True)

class Order(models.Model):
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE)
    total = models.DecimalField(max_digits=10, decimal_places=2)
    {extra}
    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(total__gte=0), name="not_negative")]
        indexes = [models.Index(fields=["total"])]
"""


def write_models(extra=""):
    with open(os.path.join(app, "models.py"), "w") as file:
        file.write(MODELS.replace("{extra}", extra))


write_models()
sys.path.insert(0, work)
import django  # noqa: E402
from django.conf import settings as django_settings  # noqa: E402

django_settings.configure(
    SECRET_KEY="x", USE_TZ=True, DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
                    "django.contrib.admin", "django.contrib.messages", "django.contrib.postgres", "shop"],
    DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql", "HOST": HOST, "PORT": PORT, "USER": USER, "PASSWORD": PASSWORD,
        "NAME": DATABASE, "OPTIONS": {"application_name": "django", "options": "-c work_mem=5MB"},
        "TEST": {"NAME": "test_django"}}},
    MIDDLEWARE=[], TEMPLATES=[])
django.setup()
from django.core.management import call_command  # noqa: E402
from django.db import IntegrityError, connection, transaction  # noqa: E402


@check
def settings():
    with connection.cursor() as cursor:
        cursor.execute("show work_mem")
        assert cursor.fetchone() == ("5MB",)


@check
def migrations():
    call_command("makemigrations", "shop", verbosity=0)
    call_command("migrate", verbosity=0)
    assert {"shop_order", "auth_user", "django_session"} <= set(connection.introspection.table_names())
    call_command("migrate", "shop", "zero", verbosity=0)
    assert "shop_order" not in connection.introspection.table_names()
    call_command("migrate", verbosity=0)
    call_command("inspectdb", "shop_order", stdout=open(os.devnull, "w"))


@check
def orm():
    from django.contrib.auth.models import User
    from shop.models import Customer, Order

    User.objects.create_superuser("admin", "a@example.com", "x")
    Customer.objects.bulk_create(Customer(name=f"c{n}", tags=["x"], data={"n": n}) for n in range(500))
    Order.objects.bulk_create(Order(customer=c, total=c.id) for c in Customer.objects.all())
    assert Customer.objects.filter(tags__contains=["x"], data__n__gte=490).count() == 10
    assert Order.objects.select_related("customer").filter(customer__name="c3").get().customer.data == {"n": 3}
    assert len(list(Order.objects.iterator(chunk_size=50))) == 500
    Customer.objects.annotate(search=django.contrib.postgres.search.SearchVector("name")).filter(search="c3").get()


@check
def errors():
    from shop.models import Customer, Order

    for make in (lambda: Customer.objects.create(name="c1"),
                 lambda: Order.objects.create(customer_id=1, total=-1)):
        try:
            with transaction.atomic():
                make()
            raise AssertionError("no error")
        except IntegrityError:
            pass


@check
def transactions():
    from shop.models import Customer

    with transaction.atomic():
        Customer.objects.create(name="outer")
        try:
            with transaction.atomic():
                Customer.objects.create(name="inner")
                raise RuntimeError
        except RuntimeError:
            pass
    assert Customer.objects.filter(name__in=["outer", "inner"]).count() == 1
    with transaction.atomic():
        Customer.objects.select_for_update(skip_locked=True).get(name="outer")


@check
def pool():
    """Ten threads, each with a connection of its own."""
    from django.db.models import F
    from shop.models import Order

    first = Order.objects.first()
    failures = []

    def work():
        try:
            for _ in range(20):
                Order.objects.filter(pk=first.pk).update(total=F("total") + 1)
            connection.close()
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert Order.objects.get(pk=first.pk).total == first.total + 200


@check
def test_database():
    from django.test.utils import get_runner

    runner = get_runner(django_settings)(verbosity=0, interactive=False)
    old = runner.setup_databases()
    assert connection.settings_dict["NAME"] == "test_django"
    runner.teardown_databases(old)


@check
def clean_up():
    connection.close()
    connection.settings_dict["NAME"] = DATABASE
    with connection.cursor() as cursor:
        cursor.execute("drop schema public cascade; create schema public")
    connection.close()
    shutil.rmtree(work)
