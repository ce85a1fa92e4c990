"""The console. Of the project it imports only the control client, the model, the snapshot, settings and errors."""
