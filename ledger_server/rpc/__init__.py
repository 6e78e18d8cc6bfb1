"""Floor 3: gRPC. The only floor that imports grpc and the generated contract."""
