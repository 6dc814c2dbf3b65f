"""The look: system fonts, one accent colour, contrast of at least 4.5 to 1 in light and dark."""

from __future__ import annotations

import gradio as gr

FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")
MONO_FONTS = ("ui-monospace", "Consolas", "Menlo", "monospace")


def theme() -> gr.themes.Base:
    """Return the theme of the page."""
    base = gr.themes.Base(
        primary_hue="indigo",
        neutral_hue="slate",
        radius_size="lg",
        spacing_size="md",
        text_size="md",
        font=list(FONTS),
        font_mono=list(MONO_FONTS),
    )
    return base.set(**_light(), **_dark())


def _light() -> dict[str, str]:
    return {
        "body_background_fill": "*neutral_50",
        "body_text_color": "*neutral_800",
        "body_text_color_subdued": "*neutral_600",
        "block_background_fill": "white",
        "block_border_width": "0px",
        "block_shadow": "none",
        "block_label_text_color": "*neutral_700",
        "block_title_text_color": "*neutral_700",
        "block_title_text_weight": "500",
        "block_info_text_color": "*neutral_600",
        "border_color_primary": "*neutral_200",
        "border_color_accent": "*primary_600",
        "input_background_fill": "*neutral_50",
        "input_border_color": "*neutral_200",
        "input_border_color_focus": "*primary_400",
        "input_border_width": "1px",
        "input_placeholder_color": "*neutral_500",
        "input_shadow": "none",
        "button_primary_background_fill": "*primary_600",
        "button_primary_background_fill_hover": "*primary_700",
        "button_primary_text_color": "white",
        "button_secondary_background_fill": "white",
        "button_secondary_background_fill_hover": "*neutral_100",
        "button_secondary_border_color": "*neutral_200",
        "button_border_width": "1px",
        "button_secondary_text_color": "*neutral_700",
        "checkbox_label_background_fill": "*neutral_100",
        "checkbox_label_background_fill_selected": "*primary_50",
        "color_accent": "*primary_600",
        "link_text_color": "*primary_700",
    }


def _dark() -> dict[str, str]:
    return {
        "body_background_fill_dark": "*neutral_950",
        "body_text_color_dark": "*neutral_100",
        "body_text_color_subdued_dark": "*neutral_400",
        "block_background_fill_dark": "*neutral_900",
        "block_label_text_color_dark": "*neutral_300",
        "block_title_text_color_dark": "*neutral_300",
        "block_info_text_color_dark": "*neutral_400",
        "border_color_primary_dark": "*neutral_800",
        "input_background_fill_dark": "*neutral_950",
        "input_border_color_dark": "*neutral_700",
        "input_border_color_focus_dark": "*primary_500",
        "input_placeholder_color_dark": "*neutral_400",
        "button_primary_background_fill_dark": "*primary_600",
        "button_primary_background_fill_hover_dark": "*primary_500",
        "button_primary_text_color_dark": "white",
        "button_secondary_background_fill_dark": "*neutral_800",
        "button_secondary_background_fill_hover_dark": "*neutral_700",
        "button_secondary_border_color_dark": "*neutral_700",
        "button_secondary_text_color_dark": "*neutral_200",
        "checkbox_label_background_fill_dark": "*neutral_800",
        "checkbox_label_background_fill_selected_dark": "*primary_950",
        "link_text_color_dark": "*primary_300",
    }
