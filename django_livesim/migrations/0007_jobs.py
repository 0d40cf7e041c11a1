from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("livesim", "0006_quarantine"),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="attempts",
            field=models.IntegerField(
                default=0, help_text="of a job: how many were begun", verbose_name="attempts"
            ),
        ),
    ]
