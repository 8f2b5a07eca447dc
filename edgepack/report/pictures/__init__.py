"""Pictures as Vega-Lite and Vega descriptions, drawn to inline SVG without a browser."""
