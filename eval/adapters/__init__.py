"""An adapter's folder: what may be in it, what its settings may say, and a run made of one trained elsewhere.

From outside: `adopt`; `adapter_config.check_config`, `adapter_tensors.check_tensors`, `safetensors_file.check_weights`.
"""
