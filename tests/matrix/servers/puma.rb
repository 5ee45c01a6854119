# Puma closes idle connections after so many seconds.
persistent_timeout 1
environment "production"
