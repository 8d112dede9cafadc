"""What every TicketCap service starts with: settings, gRPC, database, health, drain, errors.

Import the module that answers your question: ``errors``, ``status``,
``identity``, ``provider_keys``, ``settings``, ``production``, ``validation``, ``deadlines``, ``calls``,
``grpc_server``, ``grpc_channel``, ``database``, ``transactions``,
``row_security``, ``migration``, ``health``, ``tables``, ``messages``,
``entry``, ``lifecycle``.
"""
