"""`./ledger migrate`: creates the roles and the schema in a PostgreSQL of yours."""

import click


@click.command()
@click.option(
    "--database-url", metavar="OWNER_URL", required=True, help="The database, as its owner or a superuser."
)
@click.option(
    "--app-password",
    metavar="PASSWORD",
    envvar="LEDGER_APP_PASSWORD",
    help="Gives the role ledger_app this password; without it the role's password stays as it is.",
)
def migrate(database_url: str, app_password: str | None) -> None:
    """Create or upgrade the schema, and print the URL to serve with."""
    from ledger_server.app import migrate_database

    try:
        number, url = migrate_database(database_url, app_password)
    except Exception as error:
        # Whatever it is, one sentence: the driver's own are written for people too.
        raise click.ClickException(str(error).strip().partition("\n")[0]) from error
    click.echo(f"the schema is at migration {number}")
    click.echo(f"serve with:  LEDGER_DATABASE_URL='{url}' ./ledger serve")
    if app_password is None:
        click.echo("ledger_app keeps the password it has, if any; --app-password sets another")
