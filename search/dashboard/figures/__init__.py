"""The dashboard's figures, one Plotly figure a function."""
