"""How forms look: our own field template, no package."""

from django.forms.renderers import TemplatesSetting


class HubFormRenderer(TemplatesSetting):
    """Labels above, help below them, errors in words, optional fields marked as such."""

    field_template_name = "forms/field.html"
