"""What steers a drawing from beside: which ControlNets and adapters there are, their loading, and preprocessors."""
