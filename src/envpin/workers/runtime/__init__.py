"""What every worker stands on: loading a base and adapters, the device, accounting of tensors, answers of models."""
