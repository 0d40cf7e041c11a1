from __future__ import annotations

from django_livesim.admin import RunAdmin
from django_livesim.models import Run
from tests.unusual.sites import back_office

back_office.register(Run, RunAdmin)
